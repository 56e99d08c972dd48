"""A static site of published studies: Markdown and tables as linked pages, and each study's own page."""
