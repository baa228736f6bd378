"""Where time goes, and how cost grows: commands whose tables are on pages of `docs/lab`."""
