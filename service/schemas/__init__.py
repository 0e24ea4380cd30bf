"""Wire types, as pydantic models; free of torch, FastAPI and SQL.

training    TrainRequest
jobs        JobResponse and its parts
fit         FitResponse: actual and predicted values
datasets    UploadQuery, DatasetResponse and its parts
predict     PredictRequest, PredictResponse
imports     ImportRequest, ImportQuery: models from elsewhere
models      models, versions, params, deployments
v2          the Open Inference Protocol v2
health      HealthResponse
problem     ProblemResponse (RFC 9457)
"""
