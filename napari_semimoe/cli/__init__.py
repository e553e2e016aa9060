"""The same session without a window: the `semimoe` command."""
