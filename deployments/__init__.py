"""How flows run: deployments, the serving process, the command line."""
