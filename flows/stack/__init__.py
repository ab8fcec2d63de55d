"""A local stack: Prefect server, worker, deployments, Ray head and MLflow, all on loopback."""
