"""Why a service did not start: known lines of its log, and what to do about each."""

_CAUSES = (
    ("Can't locate revision", "its database was written by a newer version of the library: install "
     "that version again, or give another folder (--dir)"),
    ("Detected out-of-date database schema", "its database was written by another version of "
     "MLflow: copy mlflow.db, then `mlflow db upgrade sqlite:///mlflow.db` in the folder"),
    ("ddress already in use", "another program took its port in the meantime: `hcp up` again, with "
     "another port"),
    ("No space left on device", "the disk is full: make room, then `hcp up` again"),
    ("unexpected keyword argument 'min_items'", "this version of fastapi does not fit Prefect: "
     "install with constraints.txt (fastapi<0.151)"),
    ("Can't evaluate bulk DML", "this version of sqlalchemy does not fit Prefect: install with "
     "constraints.txt (sqlalchemy<2.1)"),
    ("database disk image is malformed", "its database is damaged: put a copy of it back, or move "
     "it away, and it is made anew"),
    ("file is not a database", "its database is damaged: put a copy of it back, or move it away, "
     "and it is made anew"),
    ("attempt to write a readonly database", "its database cannot be written: give the folder to "
     "this user"),
    ("password authentication failed", "its database server refuses user or password: correct "
     "--database or --mlflow-database (characters such as @ and / as %40 and %2F)"),
    ("No module named 'psycopg2'", "MLflow's driver for PostgreSQL is not installed: pip install "
     "'hcp[postgres]'"),
    ("could not connect to server", "its database server does not answer: start it, or correct "
     "--database"),
    ("Connection refused", "what it connects to does not answer: see its log"),
    ("Permission denied", "a file of the folder belongs to another user: give the folder to this "
     "one, or take another (--dir)"),
)  # fmt: skip


def cause(log: str) -> str | None:
    """A sentence that says what to do; None: the log shows nothing that we know."""
    return next((sentence for sign, sentence in _CAUSES if sign in log), None)
