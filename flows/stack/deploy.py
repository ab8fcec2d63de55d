"""``python -m flows.stack.deploy POOL PLACES``: put the deployments on the stack's server.

A process of its own: Prefect reads the server's address when it is imported, which takes seconds
that pass while the server starts.
"""

import json
import os
import sys
import time

from flows.stack.api import PrefectApi

LIMIT_S = 300


def main() -> None:
    """Wait for the server that PREFECT_API_URL names, then make all that is not there yet."""
    pool, places = sys.argv[1], json.loads(sys.argv[2])
    from flows.provision import provision

    api, deadline = PrefectApi(os.environ["PREFECT_API_URL"]), time.monotonic() + LIMIT_S
    while not api.healthy():
        if time.monotonic() > deadline:
            sys.exit(f"{api.url} did not answer within {LIMIT_S} s")
        time.sleep(0.3)
    sys.stdout.write("\n".join([*provision(pool=pool, places=places), ""]))


if __name__ == "__main__":
    main()
