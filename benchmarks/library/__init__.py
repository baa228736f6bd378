"""What the commands are made from: sides that take turns, time stamps, engines driven by hand, tables and pictures."""
