"""What a batch system says of its site goes in, a configuration file comes out."""
