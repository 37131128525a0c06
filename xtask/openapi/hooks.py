"""What Schemathesis is told about this house: which token a call is made with, which ids exist, what NDJSON is, and what a refusal has to say.

Read by `cargo xtask openapi --probe`, never by itself. Tokens by role, known ids and reasons come as JSON in the environment.
"""

import json
import os
import random

import requests
import schemathesis

TOKENS = json.loads(os.environ["PROBE_TOKENS"])
KNOWN = json.loads(os.environ["PROBE_KNOWN"])
REASONS = json.loads(os.environ["PROBE_REASONS"])
CHOICE = random.Random(int(os.environ["PROBE_SEED"]))
AGAIN = requests.Session()
AGAIN_SECONDS = 10


@schemathesis.hook
def before_call(context, case, kwargs):
    """Calls as a role that may, and half of the time about something that exists."""
    roles = case.operation.definition.raw.get("x-roles", [])
    usable = [TOKENS[role] for role in roles if role in TOKENS] or list(TOKENS.values())
    if usable:
        headers = dict(case.headers or {})
        headers["Authorization"] = "Bearer " + CHOICE.choice(usable)
        case.headers = headers
    for name, known in KNOWN.items():
        if known and name in (case.path_parameters or {}) and CHOICE.random() < 0.5:
            case.path_parameters[name] = CHOICE.choice(known)


@schemathesis.check
def refusal_has_its_reason(ctx, response, case):
    """What an operation does not list is refused with a reason that the document has, under the status it has there."""
    if response.status_code < 400 or str(response.status_code) in case.operation.definition.raw["responses"]:
        return
    details = response.json().get("details") or [{}]
    reason = details[0].get("reason")
    assert reason in REASONS, f"{response.status_code} with the reason {reason}, which the document does not have"
    status = REASONS[reason]["http"]
    assert response.status_code == status, f"{reason} with {response.status_code}, in the document it is {status}"


@schemathesis.check
def token_is_looked_at(ctx, response, case):
    """What was served with a token is refused without one and with one whose signature is another's.

    Schemathesis's own ignored_auth sees none of this: `before_call` gives its requests good tokens again.
    """
    asked = response.request.headers.get("Authorization")
    if response.request.method == "OPTIONS":
        return  # asks what may be asked, which is no secret
    if response.status_code >= 400 or not asked or not case.operation.definition.raw.get("security"):
        return
    signed, _, signature = asked.rpartition(".")
    for way, token in {"without a token": None, "with another's signature": f"{signed}.{signature[::-1]}"}.items():
        request = response.request.copy()
        del request.headers["Authorization"]
        if token:
            request.headers["Authorization"] = token
        status = AGAIN.send(request, timeout=AGAIN_SECONDS).status_code
        assert status == 401, f"{status} {way}, {response.status_code} with one"


@schemathesis.serializer("application/x-ndjson")
def write_lines(context, value):
    """One message a line; a stream of one message is enough here."""
    return json.dumps(value).encode() + b"\n"


@schemathesis.deserializer("application/x-ndjson")
def read_lines(context, response):
    """The first message: each has the schema that the document gives."""
    lines = [line for line in response.text.splitlines() if line.strip()]
    return json.loads(lines[0]) if lines else {}
