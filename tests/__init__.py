"""A real package: without this file, any `tests` package that a wheel installed would win."""
