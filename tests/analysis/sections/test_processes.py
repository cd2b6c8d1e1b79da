def test_samples_tell_load_threads_collections_and_disk(recording, analysed):
    """Cumulative figures are the last ones; the load is between the first sample and the last."""
    disk = {"read_count": 3, "write_count": 4, "read_bytes": 50, "write_bytes": 60}
    told = {"threads": 7, "collections": [9, 2, 1], "disk": disk}
    recording.add("resource_sample", 0, cpu_time_ms=1000.0, metadata={"threads": 9, "collections": [3, 0, 0]})
    recording.add("resource_sample", 4, cpu_time_ms=3000.0, metadata=told)
    recording.add("resource_sample", 5, memory_usage_mb=3.0)
    [row] = analysed(recording.events, ["resource_usage"])["resource_usage"]["processes"]
    assert row == {
        "process": "p0",
        "samples": 2,
        "cpu_ms": 3000.0,
        "load": 0.5,
        "most_threads": 9,
        "collections": [9, 2, 1],
        "disk": disk,
    }


def test_one_sample_or_a_clock_that_went_back_has_no_load(recording, analysed):
    """Nothing is divided by zero, and nothing negative is told."""
    recording.add("resource_sample", 5, cpu_time_ms=1000.0)
    assert analysed(recording.events, ["resource_usage"])["resource_usage"]["processes"][0]["load"] is None
    recording.add("resource_sample", 3, cpu_time_ms=1500.0, metadata={"collections": "many", "disk": 3})
    [row] = analysed(recording.events, ["resource_usage"])["resource_usage"]["processes"]
    assert (row["load"], row["collections"], row["disk"]) == (None, None, None)
