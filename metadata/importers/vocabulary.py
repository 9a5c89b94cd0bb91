"""The vocabulary of runs: our names, and those under which others write the same."""

from collections.abc import Mapping
from dataclasses import dataclass

MINUTE, HOUR, MIB, GIB = 60.0, 3600.0, float(2**20), float(2**30)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A name of ours, what others call it (letters and digits only), and their unit in ours."""

    name: str
    theirs: str
    factor: float = 1.0
    of: str = ""  # the fact that it is another unit of

    @property
    def ours(self) -> str:
        """Return the name of the fact whatever the unit."""
        return self.of or self.name


FACTS = (
    Fact(name="model", theirs="model modelid basemodel modelname modelnameorpath configname "
         "basemodelnameorpath basemodelid pretrainedmodelnameorpath"),
    Fact(name="model_parameters", theirs="modelparameters totalparameters totalparams "
         "numtotalparams numparameters modelsize size"),
    Fact(name="dataset", theirs="dataset datasetname datasetid task taskname trainfile data "
         "language"),
    Fact(name="examples", theirs="examples trainexamples numtrainsamples trainsamples samplesize "
         "trainsize numexamples numtrainexamples budget n"),
    Fact(name="kind", theirs="kind datasetkind"),
    Fact(name="method", theirs="method peftmethod pefttype methodname finetuningtype adaptertype"),
    Fact(name="rank", theirs="rank lorarank lorar r"),
    Fact(name="alpha", theirs="alpha loraalpha"),
    Fact(name="lora_dropout", theirs="loradropout adapterdropout"),
    Fact(name="target_modules", theirs="targetmodules loratarget loratargetmodules"),
    Fact(name="optimizer", theirs="optimizer optim optimizertype optimizername"),
    Fact(name="learning_rate", theirs="learningrate lr"),
    Fact(name="weight_decay", theirs="weightdecay wd"),
    Fact(name="schedule", theirs="schedule scheduler lrscheduler lrschedulertype"),
    Fact(name="warmup_fraction", theirs="warmupfraction warmupratio"),
    Fact(name="warmup_steps", theirs="warmupsteps"),
    Fact(name="batch_size", theirs="batchsize trainbatchsize effectivebatchsize totalbatchsize "
         "totaltrainbatchsize globalbatchsize"),
    Fact(name="micro_batch_size", theirs="microbatchsize perdevicetrainbatchsize "
         "perdevicebatchsize"),
    Fact(name="accumulation_steps", theirs="accumulationsteps gradientaccumulationsteps"),
    Fact(name="epochs", theirs="epochs numtrainepochs numepochs epoch"),
    Fact(name="steps", theirs="steps totalsteps globalstep maxsteps step"),
    Fact(name="max_length_tokens", theirs="maxlengthtokens maxseqlength maxseqlen maxlength "
         "modelmaxlength cutofflen maxsequencelength"),
    Fact(name="precision", theirs="precision dtype torchdtype mixedprecision"),
    Fact(name="bf16", theirs="bf16"),
    Fact(name="fp16", theirs="fp16"),
    Fact(name="quantization", theirs="quantization"),
    Fact(name="gradient_checkpointing", theirs="gradientcheckpointing usegc"),
    Fact(name="packing", theirs="packing"),
    Fact(name="seed", theirs="seed randomseed"),
    Fact(name="device", theirs="device gpu gpuname devicename accelerator gputype hardware"),
    Fact(name="device_count", theirs="devicecount gpucount numgpus worldsize numdevices"),
    Fact(name="state", theirs="state status runstatus"),
    Fact(name="reason", theirs="reason errormsg error"),
    Fact(name="created_at", theirs="createdat created timestamp starttime startedat"),
    Fact(name="train_seconds", theirs="trainseconds trainingtimeseconds trainingtimesec "
         "trainruntime traintime trainingtime runtime walltimeseconds walltimesec"),
    Fact(name="train_minutes", of="train_seconds", factor=MINUTE,
         theirs="trainminutes walltimemin trainingtimemin elapsedtimemin trainingtimeminutes"),
    Fact(name="train_hours", of="train_seconds", factor=HOUR,
         theirs="trainhours walltimehours trainingtimehours"),
    Fact(name="eval_seconds", theirs="evalseconds evalruntime evaltime"),
    Fact(name="peak_device_bytes", theirs="peakdevicebytes acceleratormemorymax cudamemorymax "
         "peakmemorybytes peakvrambytes"),
    Fact(name="peak_device_mib", of="peak_device_bytes", factor=MIB,
         theirs="peakdevicemib peakvrammb peakgpumemorymb peakmemorymb maxmemorymb"),
    Fact(name="peak_device_gib", of="peak_device_bytes", factor=GIB,
         theirs="peakdevicegib peakgpumemorygb peakmemorygb peakvramgb maxmemorygb gpumemorygb"),
    Fact(name="peak_tensor_bytes", theirs="peaktensorbytes peakallocatedbytes"),
    Fact(name="trained_tokens", theirs="trainedtokens traintotaltokens numinputtokensseen"),
    Fact(name="trainable_parameters", theirs="trainableparameters trainableparams "
         "numtrainableparams numtrainableparameters"),
    Fact(name="base_loss", theirs="baseloss"),
    Fact(name="best_loss", theirs="bestloss"),
    Fact(name="last_loss", theirs="lastloss"),
    Fact(name="exact_match", theirs="exactmatch"),
    Fact(name="mean_reciprocal_rank", theirs="meanreciprocalrank mrr"),
)  # fmt: skip
BY_NAME: Mapping[str, Fact] = {fact.name: fact for fact in FACTS}
BY_THEIRS: Mapping[str, tuple[int, Fact]] = {
    theirs: (place, fact) for fact in FACTS for place, theirs in enumerate(fact.theirs.split())
}
TEXTS = frozenset(
    {"model", "dataset", "kind", "method", "target_modules", "optimizer", "schedule", "precision",
     "quantization", "device", "state", "reason", "created_at"}
)  # fmt: skip
FLAGS = frozenset({"bf16", "fp16", "gradient_checkpointing", "packing"})
