# Every benchmark runs and says what it measured; the report of a run is one self-contained page.
. tests/cli/fixture.sh

"$SECENC" bench peak rows train infer tokenizer corpus loader --config configs/nano.yaml --lengths 64x4,9 \
    --seconds 0.01 --text "$FIX/logs" --json "$T/bench.json" --quiet >"$T/table"
for row in "peak bf16" "adamw bf16" "train nano bf16" "train nano fp32" "infer nano bf16" "tokenizer encode, 1 thread" \
    "tokenizer train" "corpus build, 1 thread" "loader, 1 thread, masked"; do
    grep -q "^$row" "$T/table" || fail "no row '$row' in $(cat "$T/table")"
    grep -q "\"name\": *\"$row" "$T/bench.json" || fail "no '$row' in the JSON"
done
grep -E '"median"' "$T/bench.json" | grep -Eq '(: *0,|null|-)' && fail "a rate is not positive: $(cat "$T/bench.json")"
expect 2 "no benchmark 'trian'" "$SECENC" bench trian
expect 2 "lengths '2x'" "$SECENC" bench train --lengths 2x
expect 1 "nowhere" "$SECENC" bench tokenizer --text "$T/nowhere"

"$SECENC" pretrain "${NANO[@]}" --data "$FIX/data" --run "$T/run <&>" --set train.steps=4 --set log.every=1 \
    --quiet
page=$("$SECENC" report "$T/run <&>")
[ "$page" = "$T/run <&>/report.html" ] || fail "report printed '$page'"
grep -q '<svg' "$page" || fail "no chart"
grep -q 'run &lt;&amp;&gt;' "$page" || fail "the title is not escaped"
grep -Eq '<script|src=|@import|url\(' "$page" && fail "the page loads something"
grep -q 'model.hidden_size' "$page" || fail "no configuration"
"$SECENC" report "$T/run <&>" -o "$T/other.html" >/dev/null
cmp -s "$page" "$T/other.html" || fail "two reports of one run differ"
expect 3 "not a run directory" "$SECENC" report "$T"
# a last line that a kill cut short does not matter
printf '{"kind":"train","st' >>"$T/run <&>/metrics.jsonl"
"$SECENC" report "$T/run <&>" >/dev/null
echo "bench and report: ok"
