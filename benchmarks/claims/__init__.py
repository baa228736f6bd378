"""What the documentation claims: one command for each row or section of `docs/performance.md`."""
