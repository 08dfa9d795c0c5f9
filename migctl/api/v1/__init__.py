"""The public REST API, version 1, at /api/v1.

app.py         the application: routes, errors, who the caller is
service.py     what the routes stand on
errors.py      errors as {code, message, details}
not_here.py    paths that clients know and that have nothing behind them: 501, and why
schemas/       what travels, as pydantic models: the one place for them
filters.py     filterBy, search, sortBy and pages of lists
routes/        one file per resource; what they share is in workloads/, organization/ and machines/

A route translates: schemas to objects, objects to schemas. What may be stored says migctl/admission.py; who may do what
says migctl/access.
"""
