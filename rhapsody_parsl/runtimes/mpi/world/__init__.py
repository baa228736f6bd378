"""Functions with `comm`: worlds of ranks that stand, and the groups in them that run one function each."""
