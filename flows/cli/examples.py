"""The examples at the end of each command's help; every one of them is parsed by a test."""

EXAMPLES = {
    "demo": """\
hcp demo
hcp demo --out /data/try""",
    "up": """\
hcp up
# with what the deployments work on
hcp up --source /data/photos --root /data/hcp --base stable-diffusion-v1-5/stable-diffusion-v1-5 \\
    --runs /data/runs --reports /data/reports
# in a folder and on ports of your own choice; 0 is any free one
hcp up --dir /data/stack --prefect-port 4300 --mlflow-port 0""",
    "down": """\
hcp down
hcp down --dir /data/stack""",
    "status": """\
hcp status
hcp status --json""",
    "doctor": """\
hcp doctor
hcp doctor --json | jq '.checks[] | select(.state != "ok")'""",
    "provision": """\
# once; again after an upgrade, or for another place: what is there stays
hcp provision --source s3://bucket/photos --root s3://bucket/data \\
    --base stable-diffusion-v1-5/stable-diffusion-v1-5 --runs /data/runs --reports /data/reports
# who is told of a run that failed
hcp provision --webhook https://example.org/hook
hcp provision --email night@example.org --email-from hcp@example.org \\
    --smtp smtp+starttls://mail.example.org:587""",
    "sources": """\
hcp sources photos/
hcp sources s3://bucket/photos --format webdataset
hcp sources "data/*.parquet" --image-column jpg --caption-column text""",
    "rebuild": """\
# photos with captions beside them, on this machine
hcp rebuild --source photos/ --root data/ \\
    --pose-model yolo11n-pose.pt --mask-model sam_vit_h
# the embedded models, offline; then the same again, which finds nothing to do
hcp rebuild --source photos/ --root data/ --preset demo
# on a cluster, any setting by its path, the new version's name for a script
hcp rebuild --source s3://bucket/photos --root s3://bucket/data \\
    --ray-address ray://head:10001 --set extractor.batch_size=16 --json""",
    "retry-failed": """\
hcp retry-failed data/
hcp retry-failed data/ --reason unreadable --reason poison""",
    "cache": """\
hcp cache --dataset data/ --base stable-diffusion-v1-5/stable-diffusion-v1-5
hcp cache --dataset data/ --base embedded --preset demo --workers 2""",
    "versions": """\
hcp versions data/
hcp versions s3://bucket/data --limit 5 --json""",
    "inspect": """\
hcp inspect data/
hcp inspect data/@0123456789abcdef --out pages/night.html""",
    "verify": """\
hcp verify data/
hcp verify data/ --quick    # names, sizes and sums; reads no sample""",
    "gc": """\
hcp gc data/ --dry-run
hcp gc data/""",
    "train": """\
hcp train --dataset data/ --base stable-diffusion-v1-5/stable-diffusion-v1-5 \\
    --out runs/first --preset sd15 --steps 2000
hcp train --config train.yaml --resume
hcp train --config train.yaml --init-from champion \\
    --set training.learning_rate=3e-4 --set training.hcp.stages=[mid]""",
    "evaluate": """\
hcp evaluate --checkpoint runs/first/latest --dataset data/ \\
    --base stable-diffusion-v1-5/stable-diffusion-v1-5 --out runs/first/report --register
hcp evaluate --checkpoint hcp-registry:hcp/champion --base embedded --preset demo \\
    --out reports/ --prompts prompts.txt --json""",
    "ablate": """\
hcp ablate --config ablation.yaml
hcp ablate --config ablation.yaml --question loss --parallel 2""",
    "models": """\
hcp models
hcp models --registry sqlite:///data/hcp-registry.db --json""",
    "promote": """\
hcp promote hcp/3""",
    "rollback": """\
hcp rollback hcp""",
    "weights": """\
hcp weights
hcp weights --json""",
    "generate": """\
hcp generate --base stable-diffusion-v1-5/stable-diffusion-v1-5 \\
    --checkpoint runs/first/latest --prompt "a woman doing yoga" --out yoga.png
# base and adapter side by side; pictures of a file of prompts
hcp generate --base embedded --checkpoint hcp-registry:hcp/champion \\
    --prompt "a man jumping" --strengths 0,0.5,1 --out grid.png
hcp generate --base embedded --prompts prompts.txt --seeds 0,1,2 --out pictures/""",
    "push": """\
hcp push runs/first/latest owner/hcp-yoga --private
hcp push hcp-registry:hcp/champion owner/hcp-yoga""",
    "compare-page": """\
hcp compare-page --a base --b runs/first/latest --base embedded \\
    --prompts prompts.txt --out vote.html
hcp compare-page --a-pictures before/ --b-pictures after/ --out vote.html""",
    "votes": """\
hcp votes votes/ --key vote.key.json
hcp votes anna.json ben.json --key vote.key.json --json""",
    "runs": """\
hcp runs
hcp runs --limit 200 --state failed --json""",
}
"""By command."""
