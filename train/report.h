/* report.html of a run: one static page (inline SVG and CSS, no outside scripts or fonts) from
 * config.yaml, env.json, metrics.jsonl and events.jsonl, and eval-*.json if there. */
#ifndef SEC_TRAIN_REPORT_H
#define SEC_TRAIN_REPORT_H

int sec_report_write(const char *run_dir, const char *out_path);

#endif
