"""Recorded queries of each chapter of the API documentation through the driver: built by its own API, and the value
that it makes of the answer compared with the recorded response, converted by the rules of this file. A query is named
`script#step`; the answer stays in ../../oracle, where it is looked up. ../js/recorded.js does the same.
"""

import base64
import datetime
import json
import os
import pathlib
import re

from rethinkdb import RethinkDB
from rethinkdb import ast
from rethinkdb import errors as e

from check import check, fails, step, tell

r = RethinkDB()
SERVER = {"host": "127.0.0.1", "port": int(os.environ.get("PHOTONDB_PORT", "28015"))}
ORACLE = pathlib.Path(__file__).resolve().parents[2] / "oracle"

db = r.db("oracle")
docs = db.table("docs")
others = db.table("others")
DEEP = {"a": 1, "b": {"c": 2, "d": {"e": 3, "f": [1, 2]}}, "g": [{"h": 1, "i": 2}, {"h": 3}], "n": None}

CHAPTERS = {
    "administration": {
        "admin/databases/0#17": lambda: db.config(),
        "admin/databases/0#45": lambda: db.table("a").config(),
        "admin/databases/0#52": lambda: db.table("a").wait(),
        "admin/databases/0#66": lambda: db.table("a").reconfigure(shards=0, replicas=1),
    },
    "aggregation": {
        "values/cases/2565#0": lambda: r.expr([{"a": 1, "b": 2}, {"a": 1, "b": 3}]).group("a", "b"),
        "values/cases/2566#0": lambda: r.expr([{"a": [1, 2]}, {"a": [2]}]).group("a", multi=True),
        "values/cases/2567#0": lambda: r.expr([1, 2]).group(lambda x: x).ungroup(),
        "tables/pipeline/0#41": lambda: docs.order_by(index="id").sum(lambda row: row["id"]),
    },
    "control structures": {
        "more/js/11#0": lambda: r.js("new Date(1375147296681)"),
        "values/json/1822#0": lambda: r.json('{"$reql_type$":"TIME","epoch_time":1,"timezone":"+00:00"}'),
        "values/cases/2680#0": lambda: r.uuid("rethink"),
        "values/binary/2440#0": lambda: r.binary(bytes([255, 239])),
        "pure/binary/5785#0": lambda: r.binary(bytes([1, 2, 3])).default(r.point(-122.4, 37.7)),
    },
    "dates and times": {
        "values/iso8601/7#0": lambda: r.iso8601("2013-07-30T20:56:05Z", default_timezone="UTC"),
        "values/iso8601/10#0": lambda: r.iso8601("2013-07-30T20:56:05.123456Z").to_iso8601(),
        "pure/fuzz/33#0": lambda: r.epoch_time(1375147296.68).in_timezone("+02:00"),
        "pure/fuzz/298#0": lambda: r.time(1970, 2, 1, "Z"),
        "values/during/314#0": lambda: r.epoch_time(1375147296.681).during(
            r.epoch_time(1e9), r.epoch_time(-62135596800), left_bound="open", right_bound="closed"),
    },
    "document manipulation": {
        "values/shape/2162#0": lambda: r.expr(DEEP).without({"a": "x"}, {"b": True}, []),
        "values/shape/2204#0": lambda: r.expr(DEEP).pluck({"b": {"zz": True}}, {"a": "x"}),
        "values/merge/2360#0": lambda: r.expr(DEEP).merge({"b": {"c": 9}}),
        "values/cases/2501#0": lambda: r.expr(DEEP).keys(),
        "values/cases/2502#0": lambda: r.expr(DEEP).values(),
    },
    "geospatial": {
        "geo/make/121#0": lambda: r.point(-122.56994807565468, 36.3739557101697),
        "geo/distance/4#0": lambda: r.point(162.83956722933868, 64.27608229153074).distance(
            r.point(-75.18987550725438, 60.97998078496752), geo_system="WGS84", unit="ft"),
        "geo/includes/95#0": lambda: r.polygon([-123, 36], [-121, 36], [-121, 38], [-123, 38]).includes(
            r.point(-121.86367389107116, 36.2062195994726)),
        "geo/cases/338#0": lambda: r.line([0, 0], [1, 0], [1, 1]).fill(),
    },
    "joins": {
        "values/cases/2645#0": lambda: r.expr([{"a": 1}, {"a": 2}]).outer_join(
            [{"a": 2, "b": 1}], lambda x, y: x["a"] == y["a"]).zip(),
        "tables/pipeline/0#37": lambda: docs.order_by(index="id").outer_join(
            others, lambda doc, other: doc["id"] == other["ref"]).order_by(r.desc("n"), r.asc("id")).coerce_to("array"),
        "tables/pipeline/0#81": lambda: docs.get_all(2, index="g").eq_join("g", others, index="g"),
    },
    "manipulating databases": {
        "admin/databases/0#0": lambda: r.db_create("oracle"),
        "admin/databases/0#9": lambda: r.db_drop("nope"),
        "admin/databases/0#10": lambda: r.db_list().contains("oracle"),
    },
    "manipulating tables": {
        "admin/databases/0#19": lambda: db.table_create("a"),
        "admin/databases/0#36": lambda: db.table_list(),
        "admin/databases/0#38": lambda: db.table_drop("c"),
        "indexes/life/0#2": lambda: db.table("i").index_create("a"),
        "indexes/life/0#25": lambda: db.table("i").index_rename("a", "a2"),
        "indexes/life/0#35": lambda: db.table("i").index_list(),
    },
    "math and logic": {
        "values/number/1957#0": lambda: r.expr(123456789.12345679).round(),
        "values/number/1978#0": lambda: r.expr(9007199254740992) % 1,
        "pure/binary/5520#0": lambda: r.binary(bytes([1, 2, 3])) & True,
        "more/bits/144#0": lambda: r.expr(4503599627370496).bit_sal(1),
    },
    "selecting data": {
        "writes/keys/0#4": lambda: db.table("k").get(0),
        "tables/pipeline/0#17": lambda: docs.filter(lambda row: row["n"] > 2).filter(lambda row: row["tags"].contains("x", "y")),
        "tables/pipeline/0#49": lambda: docs.between(5, 30),
    },
    "string manipulation": {
        "values/match/927#0": lambda: r.expr("a").match("(?s).*"),
        "values/match/953#0": lambda: r.expr("foo").match("^f"),
        "values/split/1430#0": lambda: r.expr("日本語 テキスト").split(None, 1),
    },
    "transformations": {
        "values/cases/2599#0": lambda: r.expr([[1], [2, 3]]).concat_map(lambda x: x),
        "more/slices/582#0": lambda: r.expr([1, "a", "a", 1, 1]).slice(3, 6),
        "tables/pipeline/0#20": lambda: docs.between(r.minval, 16).order_by(index="id").offsets_of(lambda row: row["g"] == 1),
        "tables/pipeline/0#52": lambda: docs.order_by(index="id").skip(2),
    },
    "writing data": {
        "writes/mix/20#2": lambda: db.table("w").insert([{"id": n, "a": n} for n in range(5)]),
        "writes/mix/20#3": lambda: db.table("w").get(1).replace(
            lambda row: row.merge({"rnd": r.random().type_of()}), non_atomic=True),
        "writes/mix/20#7": lambda: db.table("w").sync(),
        "writes/mix/20#11": lambda: db.table("w").order_by(index="id").for_each(
            lambda row: db.table("w").get(row["id"]).update({"fe": 1})),
    },
}

ERRORS = {3000000: e.ReqlQueryLogicError, 3100000: e.ReqlNonExistenceError, 4100000: e.ReqlOpFailedError}
ANYTHING = {"$any$": 1}


class Raw(ast.RqlQuery):
    """A recorded query as it stands, for the steps before."""

    def __init__(self, query):
        super().__init__()
        self.query = query

    def build(self):
        return self.query

    def compose(self, args, optargs):
        return ["recorded"]


def load():
    scripts = {}
    for path in sorted(ORACLE.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            script = json.loads(line)
            scripts[script["id"]] = script
    return scripts


def key(value):
    """The key of a group: what is made of lists must be hashable."""
    return tuple(key(item) for item in value) if isinstance(value, list) else value


def convert(value):
    """What the driver's documentation says it makes of a value."""
    if isinstance(value, list):
        return [convert(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("$reql_type$")
    if kind == "TIME":
        sign, hours, minutes = re.fullmatch(r"([+-])(\d\d):(\d\d)", value["timezone"]).groups()
        offset = datetime.timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
        return datetime.datetime.fromtimestamp(value["epoch_time"], datetime.timezone(offset))
    if kind == "BINARY":
        return base64.b64decode(value["data"])
    if kind == "GROUPED_DATA":
        return {key(convert(group)): convert(reduction) for group, reduction in value["data"]}
    return {name: convert(item) for name, item in value.items()}


def masked(want, got):
    """The answer with what differs from run to run taken from it, so that the two can be compared."""
    if want == ANYTHING:
        return want
    if isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        return [masked(*pair) for pair in zip(want, got)]
    if isinstance(want, dict) and isinstance(got, dict):
        return {name: masked(want.get(name), item) for name, item in got.items()}
    return got


def plain(value):
    """A value whose types and time zones count when it is compared: bytes are bytes, whole numbers are numbers."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(value[name]) for name in sorted(value, key=repr)}
    if isinstance(value, bytes):
        return ("bytes", bytes(value))
    if isinstance(value, datetime.datetime):
        return ("time", value.isoformat())
    if isinstance(value, (bool, str)) or value is None:
        return value
    return float(value)


def canonical(term, variables=None):
    """A term with its variables numbered from 1 and bytes as the drivers write them: what two spellings have in common."""
    variables = {} if variables is None else variables
    if isinstance(term, list):
        if term[:1] == [155] and "$reql_type$" in term[1][0]:
            return term[1][0]
        if term[:1] == [69]:
            head, (first, body) = term
            for name in first[1]:
                variables[name] = len(variables) + 1
            return [head, [[2, [variables[name] for name in first[1]]], canonical(body, variables)]]
        if term[:1] == [10]:
            return [10, [variables[term[1][0]]]]
        return [canonical(item, variables) for item in term]
    if isinstance(term, dict):
        return {name: canonical(item, variables) for name, item in term.items()}
    return term


def built(term):
    return json.loads(ast.ReQLEncoder().encode(term))


def ordered(rows):
    return sorted(rows, key=repr)


def compare(conn, what, recorded, term):
    if canonical(built(term)) != canonical(recorded["q"]):
        check(what + " is the recorded query", canonical(built(term)), canonical(recorded["q"]))
    want, options = recorded["x"], recorded["o"]
    if want["t"] == 18:
        fails(what, ERRORS[want["e"]], want["r"][0], lambda: term.run(conn, **options))
        return
    answer = term.run(conn, **options)
    expected = plain(convert(want["r"] if want["t"] == 2 else want["r"][0]))
    got = plain(masked(expected, list(answer) if want["t"] == 2 else answer))
    if recorded.get("bag") and isinstance(expected, list):
        expected, got = ordered(expected), ordered(got)
    check(what, got, expected)


def play(conn, script, wanted):
    """Plays a script up to the last of its steps that are asked for, those before as they stand."""
    for name in script.get("dbs", []):
        if name in r.db_list().run(conn):
            r.db_drop(name).run(conn)
    for at, recorded in enumerate(script["steps"][:max(wanted) + 1]):
        if at in wanted:
            chapter, build = wanted[at]
            compare(conn, "%s: %s#%d" % (chapter, script["id"], at), recorded, build())
            continue
        try:
            Raw(recorded["q"]).run(conn)
        except e.ReqlError:
            pass  # the recorded answer may be an error


def main():
    scripts = load()
    conn = step("connect", lambda: r.connect(**SERVER))
    by_script = {}
    for chapter, queries in CHAPTERS.items():
        for name, build in queries.items():
            script, at = name.split("#")
            by_script.setdefault(script, {})[int(at)] = (chapter, build)
    for script, wanted in by_script.items():
        step(script, lambda: play(conn, scripts[script], wanted))
    step("close", conn.close)


tell(main)
