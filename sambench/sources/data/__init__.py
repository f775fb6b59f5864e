"""What a name of datasets on the command line means: one module for each kind of name (`sambench.sources.datasets` chooses)."""
