"""Control groups as Linux writes them."""

from pathlib import Path


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


GROUP = "sys/fs/cgroup"

V2 = {
    "proc/self/cgroup": "0::/app.slice/api",
    f"{GROUP}/cgroup.controllers": "cpu io memory pids",
    f"{GROUP}/app.slice/cpu.max": "150000 100000",
    f"{GROUP}/app.slice/memory.max": "1000000000",
    f"{GROUP}/app.slice/api/cpu.max": "max 100000",
    f"{GROUP}/app.slice/api/cpu.stat": "usage_usec 2500000\nthrottled_usec 1500000",
    f"{GROUP}/app.slice/api/memory.max": "max",
    f"{GROUP}/app.slice/api/memory.current": "600000000",
    f"{GROUP}/app.slice/api/memory.stat": "anon 1\ninactive_file 100000000\nactive_file 3",
}

V1 = {
    "proc/self/cgroup": "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n1:name=systemd:/docker/1",
    f"{GROUP}/cpu,cpuacct/docker/1/cpu.cfs_quota_us": "50000",
    f"{GROUP}/cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000",
    f"{GROUP}/cpu,cpuacct/docker/1/cpu.stat": "nr_throttled 3\nthrottled_time 1500000000",
    f"{GROUP}/cpu,cpuacct/docker/1/cpuacct.usage": "2500000000",
    f"{GROUP}/cpu,cpuacct/docker/cpu.cfs_quota_us": "-1",
    f"{GROUP}/cpu,cpuacct/docker/cpu.cfs_period_us": "100000",
    f"{GROUP}/memory/docker/1/memory.limit_in_bytes": "9223372036854771712",
    f"{GROUP}/memory/docker/1/memory.usage_in_bytes": "600000000",
    f"{GROUP}/memory/docker/1/memory.stat": "cache 1\ntotal_inactive_file 100000000",
    f"{GROUP}/memory/docker/memory.limit_in_bytes": "1000000000",
}

V1_APART = {
    name.replace("cpu,cpuacct/", "cpuacct/" if "usage" in name else "cpu/"): text
    for name, text in V1.items()
}
"""With the two controllers mounted each by itself."""
