"""MLflow: `python flow.py FOLDER` saves the model that `mlflow models serve` takes."""

import sys

from mlflow.pyfunc import PythonModel, save_model


class LineModel(PythonModel):
    def load_context(self, context):
        from line import Line

        self.line = Line()

    def predict(self, context, model_input, params=None):
        return [self.line(x) for x in model_input["x"]]


if __name__ == "__main__":
    save_model(sys.argv[1], python_model=LineModel(), pip_requirements=[], code_paths=["line.py"])
