"""What ends a command without being our own error, and what a user can do about it."""

_NO_ANSWER = "Failed to reach API"  # Prefect's own words, a RuntimeError, at the start of a run
_LOST = "ConnectError", "ConnectTimeout", "ReadTimeout", "RemoteProtocolError", "ReadError"


def server_is_away(error: Exception, api_url: str | None) -> str | None:
    """What to tell where a Prefect server did not answer; None for any other error.

    Args:
        error: what ended the command.
        api_url: of the server that the environment names; None: Prefect's own in the process.
    """
    if isinstance(error, RuntimeError) and str(error).startswith(_NO_ANSWER):
        return (
            f"Prefect's server does not answer: {error}; start it (prefect server start), or unset "
            "PREFECT_API_URL, and the command starts one of its own"
        )
    asked = str(getattr(getattr(error, "_request", None), "url", ""))  # httpx, not loaded here
    if type(error).__name__ in _LOST and api_url and asked.startswith(api_url.rstrip("/")):
        return (
            f"Prefect's server at {api_url} went away and did not come back in time: {error}; what "
            "was committed is kept, and the same command goes on from it"
        )
    return None
