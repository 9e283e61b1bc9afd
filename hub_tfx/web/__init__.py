"""A hub of one's own: a repository that machines load modules from, and people find them in.

site.py         all that answering a request needs
app.py          the routes and what every request passes through
protocol.py     TensorFlow Hub's hosting protocol, for unmodified clients
download.py     the bytes of a file: ranges, conditions, digests
publishing.py   a module that comes as an archive becomes a version
operating.py    /-/healthz, /-/readyz, /-/metrics
feed.py         new versions as an Atom feed
openapi.py      the document of all this
problems.py     what went wrong, as a page, a JSON document or a line
pages/          what people see, and the JSON twin of every page
server.py       uvicorn around it
"""
