"""One renderer for each format of reports; the table of them is `views.formats.FORMATS`."""
