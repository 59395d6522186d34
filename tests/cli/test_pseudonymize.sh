#!/bin/bash
# pseudonymize and corpus build --pseudonymize as a user sees them; corpus report.
. tests/cli/fixture.sh

(umask 077 && printf '0123456789abcdefghijklmnopqrstuv' >"$T/key")

# Lines in, lines out, whatever the packing and the threads; counts on stderr, values nowhere.
printf 'user=alice from 10.1.2.3\n\nno names\nuser=alice password=hunter2' >"$T/in"
"$SECENC" pseudonymize "$T/key" "$T/in" -o "$T/out" 2>"$T/err"
[ "$(wc -l <"$T/out")" = 3 ] || fail "lines: $(wc -l <"$T/out")"
tail -c 8 "$T/out" | grep -qx '<secret>' || fail "no newline was added at the end"
grep -q 'alice\|10\.1\.2\.3\|hunter2' "$T/out" "$T/err" && fail "a value shows"
grep -Eq 'ipv4 1, .*user 2, .*secret 1,' "$T/err" || fail "counts: $(cat "$T/err")"
user=$(sed -n '1s/user=\([^ ]*\) .*/\1/p' "$T/out")
grep -q "^user=$user password" "$T/out" || fail "one name, two pseudonyms"
zstd -q "$T/in" && "$SECENC" pseudonymize "$T/key" --threads 3 <"$T/in.zst" 2>/dev/null | cmp - "$T/out" ||
    fail "packed input differs"
"$SECENC" pseudonymize "$T/key" "$FIX/logs/auth.log" "$FIX/logs/postfix.log" --threads 2 -o "$T/two" 2>/dev/null
for f in auth postfix; do "$SECENC" pseudonymize "$T/key" --threads 1 2>/dev/null <"$FIX/logs/$f.log"; done |
    cmp - "$T/two" || fail "two inputs at once differ from one after the other"
printf 'TCK-(\\d+)\n' >"$T/patterns"
echo 'see TCK-1234' | "$SECENC" pseudonymize "$T/key" --patterns "$T/patterns" 2>/dev/null |
    grep -Eqx 'see TCK-[0-9]{4}' || fail "pattern"

# Refusals: one line that says how to mend it.
cp "$T/key" "$T/open" && chmod 644 "$T/open"
expect 3 "chmod 600" "$SECENC" pseudonymize "$T/open" "$T/in"
expect 3 "urandom" "$SECENC" pseudonymize "$T/missing" "$T/in"
head -c 31 "$T/key" >"$T/short" && chmod 600 "$T/short"
expect 3 "31 bytes" "$SECENC" pseudonymize "$T/short" "$T/in"
printf '\n(a\n' >"$T/bad"
expect 3 "bad: line 2" "$SECENC" pseudonymize "$T/key" "$T/in" --patterns "$T/bad"
expect 1 "nowhere" "$SECENC" pseudonymize "$T/key" "$T/nowhere"
expect 2 "KEYFILE" "$SECENC" pseudonymize
SECENC_FAULT=write:1 expect 1 "No space" "$SECENC" pseudonymize "$T/key" "$T/in" -o "$T/full"
[ -e "$T/full" ] && fail "a half file stayed"

# The page of a corpus; document texts are escaped. The corpus has no address of the logs.
mkdir "$T/logs" && cp "$FIX/logs/auth.log" "$T/logs"
awk 'NR <= 800 { printf "<script>alert(%d)</script> & \"q\" %s user=alice\n", int(NR / 40), $0 }' \
    "$FIX/logs/auth.log" >"$T/logs/odd.log"
"$SECENC" corpus build "$T/logs" -o "$T/corpus" --dedup exact,minhash --pseudonymize "$T/key" \
    --doc-bytes 2K --quiet >/dev/null
"$SECENC" corpus report "$T/corpus" >"$T/path"
[ "$(cat "$T/path")" = "$T/corpus/report.html" ] || fail "path: $(cat "$T/path")"
"$SECENC" corpus report "$T/corpus" --json | cmp - "$T/corpus/report.json" || fail "--json"
grep -q 'alice' "$T/corpus/report.html" "$T/corpus/report.json" && fail "a name shows in the report"
python3 - "$T/corpus" <<'PY' || fail "page"
import html.parser, json, sys
report = json.load(open(sys.argv[1] + "/report.json"))
page = open(sys.argv[1] + "/report.html").read()

class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.cells, self.pre = [], [], [], []
    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)
    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.getpos())
    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells.append(data)
        if self.open and self.open[-1] == "pre":
            self.pre.append(data)

p = Page()
p.feed(page)
p.close()
assert not p.open, p.open
assert "script" not in p.tags and "link" not in p.tags and "http" not in page, "not self-contained"
grouped = lambda n: f"{n:,}"
left = report["records_read"]
for stage in report["removed"]:
    left -= stage["records"]
    assert stage["stage"] in p.cells and grouped(stage["records"]) in p.cells, stage
assert left == report["records_kept"] and grouped(left) in p.cells
for source in report["sources"]:
    assert source["name"] in p.cells, source["name"]
for name, split in report["splits"].items():
    assert name in p.cells and grouped(split["documents"]) in p.cells
examples = report["near_duplicates"]["examples"]
assert examples, "no example to look at"
for e in examples:
    assert e["removed"]["text"] in p.pre and e["keeper"]["text"] in p.pre
assert any("<script>" in text for text in p.pre), "the odd lines are in no example"
assert page.count("<rect") == len(report["near_duplicates"]["similarity_histogram"])
assert report["pseudonyms"]["user"] > 0 and grouped(report["pseudonyms"]["user"]) in p.cells
PY
expect 3 "report.json" "$SECENC" corpus report "$T/logs"
expect 2 "one corpus" "$SECENC" corpus report
echo '{"format":"other"}' >"$T/logs/report.json"
expect 3 "format is 'other'" "$SECENC" corpus report "$T/logs"
echo '{' >"$T/logs/report.json"
expect 3 "report.json" "$SECENC" corpus report "$T/logs"
echo '{"format":"secencoder-corpus-report"}' >"$T/logs/report.json"
"$SECENC" corpus report "$T/logs" -o "$T/sparse.html" >/dev/null && [ -s "$T/sparse.html" ] ||
    fail "a report with nothing in it"
