"""A folder for `PYTHONPATH`: Python imports its `sitecustomize` as it starts."""
