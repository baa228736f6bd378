"""The `rhapsody-parsl` command: `main` reads the line, each other file brings a subcommand."""
