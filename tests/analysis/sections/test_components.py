def test_commands_of_libraries_are_no_row_of_the_components(recording, analysed):
    """A command that a library runs for its own purposes is not listed, ended or not; the program's own commands are."""
    recording.span("command", "git", 0, 1)
    background = {"metadata": {"background": True}}
    recording.end(recording.start("command", "uname", 2, **background), 9, duration_ms=7000)
    recording.start("command", "lsb_release", 3, **background)
    components = analysed(recording.events)["component_breakdown"]
    assert (components["command"]["count"], components["command"]["open"]) == (1, 0)
    assert components["command"]["total_ms"] == 1000
