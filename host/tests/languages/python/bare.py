"""Rules without an SDK, as componentize-py alone builds them."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import types as wit

TEXT = '{"type":"string"}'


class Rules(exports.Rules):
    def describe(self):
        answer = wit.Command(
            name="answer",
            summary="Answers.",
            method=wit.Method.POST,
            path="/things/{key}",
            kind=wit.CommandKind_Change(),
            key=wit.KeySource_PathParameter("key"),
            request=None,
            reply=TEXT,
            refusals=[],
            requires=[],
        )
        return wit.Description(
            name="bare",
            version="1.0.0",
            summary="Answers.",
            state=wit.StateDescription(version=1, oldest_readable=1, schema=TEXT),
            endpoint=wit.Endpoint(base_path="", port=0),
            commands=[answer],
            subscriptions=[],
            publications=[],
            timers=[],
            listings=[],
            settings=None,
            metadata=[],
            claims=[],
        )

    def handle(self, state, message, settings):
        if message.key == "odd":
            raise ValueError("the thing is odd")
        return wit.Outcome(state=wit.StateChange_Unchanged(), events=[], timers=[], reply=wit.Reply_Done('"done"'))

    def migrate(self, version, state):
        raise Err(wit.Disposition_Malformed("there is only one version"))
