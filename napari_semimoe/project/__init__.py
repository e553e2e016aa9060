"""The durable annotation project: an SQLite index and zarr arrays in one folder."""
