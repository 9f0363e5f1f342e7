"""Posts a message over HTTPS: post.py URL FILE CA [CERTIFICATE KEY]; prints the status, or `refused`."""
import http.client
import ssl
import sys
import urllib.error
import urllib.request

url, file, ca, *own = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
if own:
    context.load_cert_chain(*own)
with open(file, "rb") as message:
    request = urllib.request.Request(
        url, data=message.read(), headers={"Content-Type": "application/hl7-v2"}
    )
try:
    with urllib.request.urlopen(request, context=context, timeout=20) as answer:
        print(answer.status)
except urllib.error.HTTPError as error:
    print(error.code)
except (ssl.SSLError, urllib.error.URLError, ConnectionError, http.client.HTTPException):
    print("refused")
