# CPU:   docker build -t streamvsr .
# CUDA:  docker build -t streamvsr:cuda --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .
#        docker run --gpus all ... (the host needs NVIDIA's container toolkit; PyTorch's wheels bring CUDA's libraries)
# Run:   docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" streamvsr in.mp4 out.mp4
FROM python:3.12-slim-bookworm

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

COPY . /src
RUN pip install --no-cache-dir --constraint /src/constraints.txt --index-url ${TORCH_INDEX} --extra-index-url https://pypi.org/simple torch
RUN pip install --no-cache-dir --constraint /src/constraints.txt /src
RUN streamvsr --version && streamvsr /src/demo/city_180p.mp4 -frames:v 5 /tmp/check.mkv && rm -r /src /tmp/check.mkv

# Fetched networks: mount a volume here to keep them.
ENV STREAMVSR_CACHE=/cache
RUN mkdir -m 1777 /cache
VOLUME /cache
WORKDIR /data
ENTRYPOINT ["streamvsr"]
CMD ["--help"]
