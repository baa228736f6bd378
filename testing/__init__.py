"""What the tests need and users do not: fakes, tiny models, the watch for what a test leaves."""
