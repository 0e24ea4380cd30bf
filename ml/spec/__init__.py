"""What may be asked of `ml`: frozen pydantic descriptions, free of torch.

base       the strict base class, numbers that fit float32, errors with a position
data       LineSpec, PointsSpec: where the rows come from
model      ParametersSpec, LinearSpec, MlpSpec: which architecture
training   TrainingSpec: data + split + architecture + loss + optimizer + budget
"""
