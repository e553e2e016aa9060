"""Values, settings, states and errors shared by every layer. No torch, no Qt."""
