"""The peak of a process of its own, for code that tests run in one."""

PEAK_KIB = """
def peak_kib():
    with open("/proc/self/status") as lines:
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))

"""
"""Defines `peak_kib`. What getrusage tells begins at the peak of the process that began this one: that of all tests."""
