"""A plain torch library for regression: data, models, one training loop, artifacts, predictors.

It knows nothing of the web, of SQL or of environment variables, and could be published alone.

    errors       what can go wrong, as a tree of exceptions (torch-free)
    spec/        what may be asked: data, model, training (pydantic, torch-free)
    datasets/    files of rows become one columnar file with a profile (torch-free)
    data/        a spec becomes a Table(x_NF, y_NT); splits and scaling
    models/      one nn.Module per file; build.py holds the table of architectures
    training/    losses, optimizers, the one loop, evaluation, fit.py which joins them
    manifest     what the manifest of an artifact says
    artifact     the inference bundle at rest: safetensors and a manifest with checksums; and the
                 tutorial's way: torch.save(model.state_dict()) and back
    predictor    load once, warm up, predict; thread-safe
    exchange/    models from elsewhere and for elsewhere: import, torch.export, ONNX
    plots        scatter of train, test and predicted points; learning curves
    device       cuda | mps | cpu, seeds, threads
    cli          python -m ml train, python -m ml predict

Import from the module that defines a name; this package exports nothing.
"""
