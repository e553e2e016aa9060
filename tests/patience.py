"""How long a test waits for what must come: only one that fails waits so long."""

#: Seconds; a busy machine takes ten times as long as an idle one.
PATIENCE = 120.0
