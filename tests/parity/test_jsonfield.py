"""data/jsonfield against Python's json on hand-written cases and on generated and mutated records.

The driver (tests/drivers/jsonfield.c) is run once for each instruction set: the same bytes from all
of them, and the verdict and the text that a plain walk over json.loads gives. Known differences,
allowed for below: NaN and Infinity are malformed here; lone surrogates become U+FFFD; \\u0000 gives
nothing; more than 64 nested containers are malformed; a byte order mark in front is skipped.
"""
import json
import os
import random
import subprocess
import sys

DRIVER = os.path.join(os.environ["BUILD"], "tests", "jsonfield")
RECORDS = 120_000
PATHS = ["message", "event.original", "a.b.0", "a", r"x\.y", "1", "é.\"", "list.2.k"]


class Number(str):
    """A number or literal as written."""


class Obj(list):
    """The members of an object, all of them, in order."""


# Bytes above 0x7F, well-formed UTF-8 or not, are characters of their own on Python's side.
HIGH = {b: 0x10FF00 + b for b in range(0x80, 0x100)}


def to_text(raw):
    return raw.decode("latin-1").translate(HIGH)


def to_bytes(text):
    out = bytearray()
    for c in text:
        o = ord(c)
        if 0x10FF80 <= o <= 0x10FFFF:
            out.append(o - 0x10FF00)
        elif 0xD800 <= o <= 0xDFFF:
            out += b"\xef\xbf\xbd"
        elif o:
            out += c.encode()
    return bytes(out)


def refuse(what):
    raise ValueError(what)


DECODER = json.JSONDecoder(object_pairs_hook=Obj, parse_float=Number, parse_int=Number, parse_constant=refuse)


def depth_of(v):
    if isinstance(v, Obj):
        return 1 + max((depth_of(x) for _, x in v), default=0)
    return 1 + max((depth_of(x) for x in v), default=0) if isinstance(v, list) else 0


def parse(raw):
    """(well-formed, value)"""
    if raw.startswith(b"\xef\xbb\xbf"):
        raw = raw[3:]
    try:
        v = DECODER.decode(to_text(raw))
        return depth_of(v) <= 64, v
    except (ValueError, RecursionError):
        return False, None


def split_path(path):
    names, name, i = [], "", 0
    while i < len(path):
        if path[i] == "\\" and path[i + 1:i + 2] in (".", "\\"):
            name += path[i + 1]
            i += 1
        elif path[i] == ".":
            names.append(name)
            name = ""
        else:
            name += path[i]
        i += 1
    return [n.encode() for n in names + [name]]


ABSENT = object()


def members(v):
    """Of equal keys the last, where it stands; keys as bytes."""
    last = {to_bytes(k): i for i, (k, _) in enumerate(v)}
    return [(to_bytes(k), x) for i, (k, x) in enumerate(v) if last[to_bytes(k)] == i]


def follow(v, names):
    for name in names:
        if isinstance(v, Obj):
            v = dict(members(v)).get(name, ABSENT)
        elif isinstance(v, list):
            index = {str(i).encode(): x for i, x in enumerate(v)}
            v = index.get(name, ABSENT)
        else:
            return ABSENT
        if v is ABSENT:
            return ABSENT
    return v


def one_line(text):
    return to_bytes(text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", " "))


def scalar(v):
    if isinstance(v, Number):
        return v.encode()
    if isinstance(v, str):
        return one_line(v)
    return {None: b"null", True: b"true", False: b"false"}[v]


def check_field(raw, got):
    ok, v = parse(raw)
    if not ok:
        return got == b"malformed"
    found = next((x for x in (follow(v, split_path(p)) for p in PATHS) if x is not ABSENT), ABSENT)
    if found is ABSENT:
        return got == b"absent"
    if not got.startswith(b"ok "):
        return False
    if isinstance(found, list):  # as written
        return got[3:] in raw and parse(got[3:]) == (True, found)
    return got[3:] == scalar(found)


def quoted(text):
    if not text or any(c in text for c in b' \t="'):
        return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return text


def render(v, name, out):
    if isinstance(v, list) and v:
        inner = members(v) if isinstance(v, Obj) else [(str(i).encode(), x) for i, x in enumerate(v)]
        for key, x in inner:
            render(x, name + [key.replace(b"\r\n", b" ").replace(b"\n", b" ").replace(b"\r", b" ")], out)
        return
    if isinstance(v, list):
        text = b"{}" if isinstance(v, Obj) else b"[]"
    else:
        text = scalar(v)
        if name and isinstance(v, str) and not isinstance(v, Number):
            text = quoted(text)
    out.append((b".".join(name) + b"=" if name else b"") + text)


def check_pairs(raw, got):
    ok, v = parse(raw)
    if not ok:
        return got == b"malformed"
    out = []
    render(v, [], out)
    return got == b"ok " + b" ".join(out)


# ---------------------------------------------------------------- records

def good_cases():
    yield from (x.encode() for x in r'''
        null;true;false;0;-0;1;-1;123;1.5;-0.0;1e5;1E5;1e+5;1E-5;0e1;0E+1;20e1;1.234e-789;123.456e78
        100000000000000000000000000000000000;-1234567890.12345678901234567890;12345678;123456789;"";"a"
        [];{};[ ];{ };[[]];[{}];{"a":[]};{"a":{}};[1];[1,2];[ 1 , 2 ];["a","b"];[null,true,false];[[],[],{}]
        {"":0};{"a":1};{"a":1,"b":2};{"a":"b"};{"a":{"b":[1,2]}};{"a":{"b":["x"]}};{"a":[{"b":1}]}
        {"message":"m"};{"message":""};{"message":null};{"message":{"x":1}};{"message":[ 1, "]" ]}
        {"message":1,"message":2};{"a":1,"a":{"b":2},"a":3};{"a":{"b":[7]},"a":{"c":1}};{"a":{"b":1},"a":1}
        {"event":{"original":"x y"}};{"event":{"original":1},"event":3};{"event":[{"original":1}]};{"event.original":1}
        {"x.y":5};{"x":{"y":5}};{"1":"one"};[0,"second"];{"é":{"\"":"q"}};{"\u00e9":{"\u0022":"q"}}
        {"m\u0065ssage":"esc"};{"m\u0065ssage":1,"message":2};{"message":2,"m\u0065ssage":1};{"mess\\age":1}
        "\"\\\/\b\f\n\r\t";"\u0041\u00e9\u20ac";"\ud83d\ude00";"\uD83D\uDE00";"\ud83d";"\ude00";"\ud83d\ud83d\ude00"
        "\ud83dx";"\ud83d\n";"\ud83d\u0041";"\ude00\ud83d";"\u0000";"a\u0000b";"\u007f";"\\u0041";"\\\\u0041";"\\\""
        {"message":"a\nb\r\nc\rd\n\r\ne"};{"message":"\u000a\u000d\u000a"};{"message":"\ta=b \"c\" \\"}
        {"list":[0,1,{"k":"v"}]};{"list":[0,1,{"k":{"z":[1]}}]};{"list":{"2":{"k":"o"}}};{"a":{"b":{"0":"z"}}}
        {"k":"C:\\Windows\\x","q":"a b","e":"=","n":-1.50E+2,"t":true,"u":null};{"k k":"v","d":{"e":{"f":"\u00fc"}}}
        {"a":{},"b":[],"c":[[],[{}]],"d":[1,[2,[3]]]};{"a":{"x":1},"b":1,"a":{"y":2}};{"a":1,"b":2,"a":[3,4]}
        '''.replace("\n", ";").split(";") if x.strip())
    yield from (b" 1 ", b"\t1\r", b'\r{\t"a"\r:\t1 }\t', b' {"message" : "x" , "b" : [ ] } ', b"\xef\xbb\xbf{}")
    yield from (b'"\x7f\x80\xff\xc3"', b'{"\xff":"\xfe"}', b'"\xed\xa0\x80"', b'"\xe2\x82\xac\xf0\x9f\x98\x80"')
    yield b"[" * 64 + b"]" * 64
    yield b'{"a":' * 64 + b"1" + b"}" * 64
    for n in (55, 60, 61, 62, 63, 64, 65, 127, 128, 4090, 4095, 4096, 4097, 8191, 9000):  # blocks and chunks
        yield b'{"k":"' + b"x" * n + b'","message":"\\"' + b"y" * (n % 67) + b'\\\\"}'
        yield b'{"k":"' + b"\\" * (2 * n) + b'","message":"z"}'
        yield b'{"k":"' + b"\\\\" * n + b'\\"","message":"z","l":' + b"1" * n + b"}"
        yield b" " * n + b'{"message":' + b" " * n + b'"w"' + b" " * n + b"}"
        yield b"[" + b",".join(b'"%d"' % i for i in range(n)) + b"]"
        yield b"{" + b",".join(b'"%d":%d' % (i % (n // 2 + 1), i) for i in range(n)) + b"}"
        yield b"{" + b",".join(b'"\\u00%02x%d":{"b":[%d]}' % (i % 90 + 33, i % 7, i) for i in range(n)) + b"}"


def bad_cases():
    yield from (x.strip().encode() for x in r'''
        [;];{;};[1;[1,;[,1];[1,,2];[1,];[,];,;:;[1 2];[1:2];{"a";{"a":;{"a":1;{"a":1,;{"a":1,};{,"a":1};{"a" 1}
        {"a":1 "b":2};{"a":1,,"b":2};{a:1};{1:1};{'a':1};{"a":'b'};{"a"::1};{"a":1:2};{null:1};{[]:1};{"a",1};{"a"}
        [1}];{"a":1];[}];{]};[[1];]];[1]];{"a":1}};1 2;1,2;"a" "b";"a""b";{}{};[][];{}1;1{};[]"a";"a":1;{"a":"b"c};["a"b]
        ["a"1];[1"a"];[true"a"];[1[]];[{}[]];[truefalse];tru;truee;True;TRUE;t;f;n;nul;nulll;fals;falsee;nan;NaN
        Infinity;-Infinity;undefined;[NaN];{"a":NaN};-;+;+1;-a;01;-01;00;1.;.1;-.1;1.e1;1e;1e+;1e-;1E;1ee1;1e1.5;1.2.3
        0x10;1_000;1a;1-;1+1;--1;0.;0e;0.e1;1 000;12345678.;123456789e;1234567812345678x;1,000;0b1;1.5f;0/1;1;/
        ";"a;"\";"\x41";"\u";"\u1";"\u12";"\u123";"\u123g";"\u 123";"\uD83D\u";"\uD83D\";"\a";"\0";"\'";"\U0041";"\u{41}"
        \";\n1;[\];{"a"\:1};["a\];//;/* */1;1//;#;[1]#;<a>;a;message;"a"\n;1\u0020;(1);`1`;'a';“a”;{"message":"x"} x
        {"message":"x"}};{"message":"x",;{"message":"x","b":tru};{"message":"x","b":"\q"};{"message":"x","b":"
        '''.replace("\n", ";").split(";"))
    yield from (b"", b" ", b"\t", b'"\x1f"', b'"\x00"', b'"\t"', b'"a\rb"', b'"\x01', b"\x00", b"1\x00", b"\x0c1", b"[1\x0c]")
    yield from (b'{"a"\x1a1}', b"[1\x0c2]", b"[1\x1a]", b"\x0b", b"\xa0" b"1", b"1\xa0", b"\xc2\xa01", b"\xff", b"[\xff]",
                b"\xef\xbb\xbf", b"\xef\xbb", b"\xef\xbb\xbf\xef\xbb\xbf1", b"1\xef\xbb\xbf", b"\xfe\xff", b'{"a":\x80}')
    yield b"[" * 65 + b"]" * 65
    yield b'{"a":' * 65 + b"1" + b"}" * 65
    yield b"[" * 100_000
    yield b'{"":' * 100_000
    for n in (62, 63, 64, 65, 4095, 4096, 4097):
        yield b'"' + b"x" * n
        yield b'"' + b"\\" * (2 * n + 1) + b'"'
        yield b'"' + b"x" * n + b"\\"
        yield b'"' + b"x" * n + b"\\u12"
        yield b'{"message":1,"k":"' + b"x" * n + b'\x02"}'
        yield b'{"message":1,"k":"' + b"x" * n + b'\\u00"}'
        yield b" " * n + b"\\"
        yield b" " * n


KEYS = ["message", "event", "original", "a", "b", "x.y", "x", "list", "k", "1", "0", "2", "é", "", "log.level", "m\\u0065ssage",
        "user name", "c\\n", "\\\"", "\\\\"]
STRINGS = ["", "a", "root", "10.0.0.1", "Failed password for root", "C:\\\\Windows\\\\System32\\\\cmd.exe", "a=b", "\\\"x\\\"",
           "\\n", "\\r\\n", "\\t", "\\/", "\\\\", "\\u0041", "\\u00e9", "\\ud83d\\ude00", "\\ud83d", "\\udc00", "\\u0000",
           "{", "}", "[", "]", ",", ":", "é", "€", "😀", "\x7f", "'", "{\\\"a\\\":1}", "x" * 70, "\\\\" * 33]
NUMBERS = ["0", "-0", "1", "42", "-7", "3.14", "1e9", "-2.5E-3", "1700000000", "1234567890123456789", "0.1", "99999999",
           "123456789.987654321e+12", "true", "false", "null"]


def generate(rng, depth=0):
    kind = rng.random()
    blank = (lambda: rng.choice(["", "", "", " ", "\t", "  ", "\r"])) if rng.random() < .3 else (lambda: "")
    if depth == 0 and kind < .9 or depth < 6 and kind < .25:
        items = [blank() + '"' + rng.choice(KEYS) + '"' + blank() + ":" + blank() + generate(rng, depth + 1) + blank()
                 for _ in range(rng.choice([0, 1, 2, 3, 4, 8]))]
        return "{" + ",".join(items) + "}"
    if depth < 6 and kind < .35:
        return "[" + ",".join(blank() + generate(rng, depth + 1) + blank() for _ in range(rng.choice([0, 1, 2, 3, 5]))) + "]"
    if kind < .6:
        return rng.choice(NUMBERS)
    return '"' + "".join(rng.choice(STRINGS) for _ in range(rng.choice([0, 1, 1, 1, 2, 4]))) + '"'


PIECES = [b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b" ", b"0", b"1", b"-", b".", b"e", b"\\u", b"\\u00", b"tru", b"null",
          b"\x00", b"\x1f", b"\x0c", b"\x1a", b"\xff", b"\xc3", b"\xe2\x82", b'\\"', b"\\\\", b'""', b"\t", b"\r", b"NaN", b"+"]


def mutate(rng, raw):
    b = bytearray(raw)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        i = rng.randrange(len(b) + 1)
        what = rng.random()
        if what < .3:
            b[i:i + 1] = rng.choice(PIECES)
        elif what < .6:
            b[i:i] = rng.choice(PIECES)
        elif what < .8:
            del b[i:i + rng.choice([1, 1, 2, 5])]
        elif what < .9:
            j = rng.randrange(len(b) + 1)
            b[i:i] = b[j:j + rng.choice([1, 3, 10])]
        else:
            del b[i:]
    return bytes(b).replace(b"\n", b" ")


def corpus():
    rng = random.Random(20)
    out = list(good_cases()) + list(bad_cases())
    real = os.environ.get("SECENC_TEST_DATA", "../shared/data")
    for name in ("windows-application", "aws-cloudtrail", "okta", "suricata"):
        for path in (f"{real}/raw/{name}.jsonl.zst", f"{real}/raw/{name}.log.zst"):
            if os.path.exists(path):
                lines = subprocess.run(["zstd", "-qdc", path], stdout=subprocess.PIPE, check=True).stdout.split(b"\n")
                out += lines[:150] + [mutate(rng, x) for x in lines[:150]]
    while len(out) < RECORDS:
        raw = generate(rng).encode()
        out.append(raw)
        out.append(mutate(rng, raw))
    return out


def run(isa, args, text):
    env = dict(os.environ, SECENC_ISA=isa)
    return subprocess.run([DRIVER, *args], input=text, stdout=subprocess.PIPE, env=env, check=True).stdout


def main():
    good, bad = list(good_cases()), list(bad_cases())
    records = corpus()
    text = b"\n".join(records) + b"\n"
    failures = 0
    # The lists themselves, so that a mistake of the reference is seen too.
    for x in good + bad:
        if parse(x)[0] != (x in good):
            print(f"reference: {x[:80]!r} is in the wrong list")
            failures += 1
    for args, check in ((["field", *PATHS], check_field), (["pairs"], check_pairs)):
        outputs = [run(isa, args, text) for isa in ("portable", "avx2", "avx512")]
        if len(set(outputs)) != 1:
            print(f"{args[0]}: the instruction sets differ")
            failures += 1
        got = outputs[0].split(b"\n")[:-1]
        if len(got) != len(records):
            sys.exit(f"{args[0]}: {len(got)} results of {len(records)} records")
        kinds = {}
        for raw, line in zip(records, got):
            kind = line.split(b" ", 1)[0].decode()
            kinds[kind] = kinds.get(kind, 0) + 1
            if not check(raw, line):
                failures += 1
                if failures < 20:
                    print(f"{args[0]}: {raw[:200]!r}\n   gave {line[:200]!r}")
        print(f"{args[0]}: {len(records)} records, {kinds}")
    if failures:
        sys.exit(f"{failures} differences")


main()
