"""Exit 0 if the server of this container answers, with the key that it asks for."""

import os
import sys
import urllib.error
import urllib.request

request = urllib.request.Request(f"http://127.0.0.1:{os.environ['PEFTWISE_PORT']}/livez")
if os.environ.get("PEFTWISE_API_KEY"):
    request.add_header("Authorization", f"Bearer {os.environ['PEFTWISE_API_KEY']}")
try:
    with urllib.request.urlopen(request, timeout=4):
        pass
except (urllib.error.URLError, OSError) as error:
    sys.exit(f"the server does not answer: {error}")
