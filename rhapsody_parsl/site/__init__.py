"""A configuration file for a site, from what its batch system says."""
