"""The napari side: layers and dock, which show state and forward intent."""
