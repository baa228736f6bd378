"""The control socket of a running executor: requests of people come in from other terminals, answers go out."""
