"""Build the documentation site: `make docs`."""

project = "SDMR benchmark"
author = "SDMR benchmark contributors"
project_copyright = author
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3  # links such as protocol.md#ties
highlight_language = "none"  # a block without a language holds commands
html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["wide.css"]
