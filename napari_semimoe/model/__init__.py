"""The Semi-MoE network, its losses and its checkpoints."""
