-- POSTGRES_DB makes Prefect's; MLflow keeps its tables apart.
CREATE DATABASE mlflow OWNER hcp;
