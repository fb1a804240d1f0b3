"""What schemathesis is to know of this API beyond its documents.

One of its checks is wrong here as it stands, so it is left out (`valid_data_is_taken` stands in for it): that what is valid
under the schema is never refused. A rule may refuse what no schema can tell, and the document lists such refusals. So
exactly these are let through, each for its reason; any other refusal of valid data fails.
"""

import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

# The last part of a problem's type, and what its detail must say.
REFUSALS = {
    # `multipleOf` 0.01 would say it, but is a remainder of floats to many programs, for which 10.25 then is no amount.
    "invalid-credit-limit": "finer than a cent",
    "invalid-order-total": "finer than a cent",
    # The example's key is sent again and again, with other bodies.
    "idempotency-key-reused": "used for a request with another",
    # To a schema 1.0 is an integer; in an address it is another spelling, and a key has one.
    "bad-query": "is not a whole number of 64 bits",
    # One of two headers is needed, which no document can say.
    "unsupported-media-type": "a POST without a body needs a header",
    # Clients take cursors from pages; no schema tells those that were given from others.
    "bad-cursor": "none of this list",
}


@schemathesis.check
def valid_data_is_taken(ctx, response, case):
    """Valid data is taken, or refused by a rule that no schema can tell."""
    if response.status_code in (400, 415, 422):
        problem = response.json()
        expected = REFUSALS.get(problem["type"].rsplit("/", 1)[-1])
        if expected is not None and expected in problem["detail"]:
            return None
    return positive_data_acceptance(ctx, response, case)
