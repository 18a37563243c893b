"""The operator's tool `plait`: the only place for typer and rich."""
