"""What may be asked of `ml`: frozen pydantic descriptions, free of torch.

base       the strict base class, numbers that fit float32, errors with a position
data       LineSpec, PointsSpec: where the rows come from
dataset    DatasetSpec: columns of a dataset
architecture   ArchitectureBase: what an architecture says of itself
plugins    architectures that installed packages bring, by entry point
model      ParametersSpec, LinearSpec, MlpSpec, and all that are installed: which architecture
exchange   ImportSpec: what a state_dict that is brought in does not say of itself
training   TrainingSpec: data + split + architecture + loss + optimizer + budget
"""
