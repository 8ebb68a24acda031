/**
 * The files of data sets on GitHub, by their path in the repository at the commit that the catalog names: each
 * with the object id that git has for it there (`git ls-tree -r COMMIT`).
 *
 * @module
 */
/** RM-Bench's files. */
export const RM_BENCH_BLOBS: Readonly<Record<string, string>> = {
  "data/chat_filtered.json": "af210df0642ce1da3c8ff3678bece786edb4ad3e",
  "data/code_filtered.json": "157b03af8afcacf880ce7cb4ba0ed907557112d2",
  "data/math_filtered.json": "47c721a5dc7e7b377425b00dbf0d1c2b1885c206",
  "data/safety-refuse_filtered.json": "64ff3399ffb919a258c450708ff30f52ce6ff6f0",
  "data/safety-response_filtered.json": "7b04873a95dd8952bddd5ac3b5399732bd992c21",
};

/** RMB's files. */
export const RMB_BLOBS: Readonly<Record<string, string>> = {
  "RMB_dataset/BoN_set/Harmlessness/S1.json": "a1516a51079940966eb9d8301274a4f0bfc45493",
  "RMB_dataset/BoN_set/Harmlessness/S10.json": "93737dd01a18d73ba13aad767e21f034b6a0cef0",
  "RMB_dataset/BoN_set/Harmlessness/S11.json": "a86b22948cb983b2ce0cdfe710b7286ebbafb563",
  "RMB_dataset/BoN_set/Harmlessness/S2.json": "b5979d859e2f8a392eff0fc9fb71f9b82b3e556c",
  "RMB_dataset/BoN_set/Harmlessness/S3.json": "9f7f90d4b94a3fb5cab40bd52949905b33a4d2d2",
  "RMB_dataset/BoN_set/Harmlessness/S4.json": "eb214086901dc825e58b13c30808113436209eb3",
  "RMB_dataset/BoN_set/Harmlessness/S5.json": "99c71400e40d758bece49f488f2332d14eebb69a",
  "RMB_dataset/BoN_set/Harmlessness/S6.json": "1a7197b3b71e84280d6d2c63ea14798f4453b44c",
  "RMB_dataset/BoN_set/Harmlessness/S7.json": "d3781cc2cbc842693bf21906d118bda11ce6869e",
  "RMB_dataset/BoN_set/Harmlessness/S8.json": "7d3cf0a19e3002e77a0511f8340f6b8c46cc40fc",
  "RMB_dataset/BoN_set/Harmlessness/S9.json": "aa300d9e6c24eb56fe80a999ae04d28cef13edf1",
  "RMB_dataset/BoN_set/Harmlessness/multi.json": "b9baa5471dbe99d99c1f21ae4452d3fa50ac97d3",
  "RMB_dataset/BoN_set/Helpfulness/Brainstorming/Idea Development.json":
    "ecaf1a7e0cfc538bdf62aa24ec4a1acb7bb4662c",
  "RMB_dataset/BoN_set/Helpfulness/Brainstorming/Problem Solving.json":
    "09c762a821853fefd99db1f1884298f7ec4d738d",
  "RMB_dataset/BoN_set/Helpfulness/Chat/Casual Conversation.json": "68fdfa5ac29cdfa30989f1d92d74f0097b1a5177",
  "RMB_dataset/BoN_set/Helpfulness/Chat/Discussion.json": "fc9c18c8e99129075bb17678fa384f6fad599a81",
  "RMB_dataset/BoN_set/Helpfulness/Chat/Supportive Conversation.json":
    "63803761dc82ca5978845c09909e52f8217dd3c3",
  "RMB_dataset/BoN_set/Helpfulness/Classification/Content Categorization.json":
    "451b9292f46358cbe389aaeb189a7db1106b4d9f",
  "RMB_dataset/BoN_set/Helpfulness/Classification/Quality and Compliance Assessment.json":
    "94751a0acafef4eed36e5c53c66e9dd80c3b0b15",
  "RMB_dataset/BoN_set/Helpfulness/Closed QA/ContextBased.json": "85718958d7a4e363ac9cd115da6bf7dfa14251f6",
  "RMB_dataset/BoN_set/Helpfulness/Closed QA/OptionBased.json": "7c176cf5886e2aea2a26ec7b07510359c1af17e4",
  "RMB_dataset/BoN_set/Helpfulness/Code/Data Management.json": "68fa8cce1cedac18de0d106ba44ad5c7bab3b5d8",
  "RMB_dataset/BoN_set/Helpfulness/Code/Development and Implementation.json":
    "c8865811c98b7ef65fca7a21cc0dafe5078da0f4",
  "RMB_dataset/BoN_set/Helpfulness/Code/Documentation.json": "59454072358b8e2ce28f41755990c53f9284cc7d",
  "RMB_dataset/BoN_set/Helpfulness/Code/Quality and Optimization.json":
    "709d00061a2eb58c8aa482686984110181f98a62",
  "RMB_dataset/BoN_set/Helpfulness/Generation/Creative Writing.json":
    "0bc9586610bf50e34b6908857d96ec5a3d868de5",
  "RMB_dataset/BoN_set/Helpfulness/Generation/Professional Content Generation.json":
    "ce9609350531b9e977295adab154643a0e9987d7",
  "RMB_dataset/BoN_set/Helpfulness/Open QA/Factual.json": "5c33ed22063df2628eecf9125752af47ee1599e4",
  "RMB_dataset/BoN_set/Helpfulness/Open QA/General Explanation.json":
    "075a22205efdbacea6bedfaa55fb75841bf0c1c2",
  "RMB_dataset/BoN_set/Helpfulness/Open QA/Hypothetical Scenarios.json":
    "1f1aadf9276ae65e8b7d9173b11797a4f9315e95",
  "RMB_dataset/BoN_set/Helpfulness/Open QA/Interpretative Analysis.json":
    "0627d3979fcc2997c2ceff634263d9a4637c5637",
  "RMB_dataset/BoN_set/Helpfulness/Open QA/Personal Opinion and Advice.json":
    "d4952f6086269b2fa8fc003de2a56980c4ff6cca",
  "RMB_dataset/BoN_set/Helpfulness/Open QA/Technical and Practical Support.json":
    "217fa961c53b5f1ceee3b67b65d89ab70c48a5e4",
  "RMB_dataset/BoN_set/Helpfulness/Reasoning/Analytical Reasoning.json":
    "8742f2068e07f6a11047f01d640a080e8415baae",
  "RMB_dataset/BoN_set/Helpfulness/Reasoning/Critical Thinking.json":
    "2eb8258840d40c6df415d13f1807a0b441b2a671",
  "RMB_dataset/BoN_set/Helpfulness/Reasoning/Human Decision Making.json":
    "b1f3aea317634878a79ebc54303b579a2c655aec",
  "RMB_dataset/BoN_set/Helpfulness/Reasoning/Logical Deduction.json":
    "5437704e5fdd19b5a4b3d46bfb93ec9b957a06db",
  "RMB_dataset/BoN_set/Helpfulness/Reasoning/Pattern Recognition.json":
    "d7cb834c5c5f5832b07ac7544251f583e4ea5e90",
  "RMB_dataset/BoN_set/Helpfulness/Rewrite/Paraphrasing.json": "3971f3884ce860ad53353c10e20453069b7f580a",
  "RMB_dataset/BoN_set/Helpfulness/Rewrite/PostQuality Assessment Rewriting.json":
    "73bd9186dbb75dec43ed6b41c52124a2a3974fa4",
  "RMB_dataset/BoN_set/Helpfulness/Rewrite/Textual ExpansionReduction.json":
    "e87cd394ad3551055aed3d71f4bd0c4b371e9247",
  "RMB_dataset/BoN_set/Helpfulness/Rewrite/Tone Adjustment.json": "898a919d9d4c039ff179f0f23ee3a45822bb3d21",
  "RMB_dataset/BoN_set/Helpfulness/Role Playing/General Character.json":
    "eb93109867ba13bbaef31a4a1da958576ede15c0",
  "RMB_dataset/BoN_set/Helpfulness/Role Playing/Specific Character.json":
    "cdd6a67dd1bbed8621c583068e69bc7d2e33bd44",
  "RMB_dataset/BoN_set/Helpfulness/Summarization/Specialized Summaries.json":
    "f5e0d83cd367016a320bc4c5a01f81bc64bfc59f",
  "RMB_dataset/BoN_set/Helpfulness/Summarization/Standard Summaries.json":
    "51a06e6c3264e3d9238a47b05551f01e04013b9e",
  "RMB_dataset/BoN_set/Helpfulness/Translation/GeneralExcerpt Language Translation.json":
    "95b66271bd7058615dfa1b12137c2672f31f6165",
  "RMB_dataset/BoN_set/Helpfulness/Translation/Literary and Cultural Translation.json":
    "7e1c25b2dc72582c55bfe47b77481d956812db42",
  "RMB_dataset/BoN_set/Helpfulness/Translation/Technical and Scientific Translation.json":
    "54b47c1a7d01c1c077550aa04fc6c97156fe335b",
  "RMB_dataset/Pairwise_set/Harmlessness/S1.json": "2e15b3be5050de443b49a5d4349722538a9dd29c",
  "RMB_dataset/Pairwise_set/Harmlessness/S10.json": "e10b4991b9eff707aff25ef8e2e68202fa94910d",
  "RMB_dataset/Pairwise_set/Harmlessness/S11.json": "4b3d655d2bfb98c5af709227bb6c4102b78d0d5f",
  "RMB_dataset/Pairwise_set/Harmlessness/S2.json": "9db00d718f32a9cdf4f652460975e8d85e4d99f2",
  "RMB_dataset/Pairwise_set/Harmlessness/S3.json": "efd647677e926f28334d30a2aa1ad31318135a0a",
  "RMB_dataset/Pairwise_set/Harmlessness/S4.json": "3a3da0bc6c1760e58919cc6fdb8a595807130cab",
  "RMB_dataset/Pairwise_set/Harmlessness/S5.json": "4afbed73fec4ec4c07621d5147d1323080838125",
  "RMB_dataset/Pairwise_set/Harmlessness/S6.json": "1e317ceb0c3789cb240f265b7e301f08686b51ff",
  "RMB_dataset/Pairwise_set/Harmlessness/S7.json": "cbcf6ac0f4bc642349f8310cc237f6249cc4b7b5",
  "RMB_dataset/Pairwise_set/Harmlessness/S8.json": "7c8159b6d925d7dda1953fe26715fe2d7b86f4bd",
  "RMB_dataset/Pairwise_set/Harmlessness/S9.json": "883460efe751c539ab104c7e7645a6f90fc5deb6",
  "RMB_dataset/Pairwise_set/Harmlessness/multi.json": "2e32b80163f4c61bc1eeedd0303531edf94d08fa",
  "RMB_dataset/Pairwise_set/Helpfulness/Brainstorming/Idea Development.json":
    "7b3f42e67d9ec03e3d71c68b1b04588a5da01362",
  "RMB_dataset/Pairwise_set/Helpfulness/Brainstorming/Problem Solving.json":
    "78e0c8fb59b08cbbbaa1a264ce10e441f5866d68",
  "RMB_dataset/Pairwise_set/Helpfulness/Chat/Casual Conversation.json":
    "705eecf8b0c4fd67d37af2632955f115c45f26c7",
  "RMB_dataset/Pairwise_set/Helpfulness/Chat/Discussion.json": "b5fdb201bb69e5ae86b70e549821ef8169ae7082",
  "RMB_dataset/Pairwise_set/Helpfulness/Chat/Supportive Conversation.json":
    "dbc79ce300873d78374f3f5164ef4d2ef42b7553",
  "RMB_dataset/Pairwise_set/Helpfulness/Classification/Content Categorization.json":
    "2bdc534d71b8b0408ff2b11a92cef12bed559629",
  "RMB_dataset/Pairwise_set/Helpfulness/Classification/Quality and Compliance Assessment.json":
    "9bdaca5159246418eff478c409743b0d5a2cf4b5",
  "RMB_dataset/Pairwise_set/Helpfulness/Closed QA/ContextBased.json":
    "91c80e05aa601054722cec0cb12373b0b92a47e5",
  "RMB_dataset/Pairwise_set/Helpfulness/Closed QA/OptionBased.json":
    "17d86f514b2eae0006c242e2af2bcfdbe8c83ba6",
  "RMB_dataset/Pairwise_set/Helpfulness/Code/Data Management.json":
    "2a9976c40ec0e40aec80d4f672584b2c15ca9177",
  "RMB_dataset/Pairwise_set/Helpfulness/Code/Development and Implementation.json":
    "1731873ecda8f075268772636409123d007079be",
  "RMB_dataset/Pairwise_set/Helpfulness/Code/Documentation.json": "f253f3d6e673724b8893ac5b3a1d3fcf8981ed4e",
  "RMB_dataset/Pairwise_set/Helpfulness/Code/Quality and Optimization.json":
    "722fc7588bef2a296ca5de92d5278f2162888132",
  "RMB_dataset/Pairwise_set/Helpfulness/Generation/Creative Writing.json":
    "21ce08d813422c1b78c7c1777f93063bc2b4c43d",
  "RMB_dataset/Pairwise_set/Helpfulness/Generation/Professional Content Generation.json":
    "80b7ba7874039cbb47536ff326694f925367a062",
  "RMB_dataset/Pairwise_set/Helpfulness/Open QA/Factual.json": "db073b5b6ecffe603ed88aa0f29eab5fe5adfdf3",
  "RMB_dataset/Pairwise_set/Helpfulness/Open QA/General Explanation.json":
    "7ee63a72cf9f8dc3b6735eb12415b9533f2d6a3e",
  "RMB_dataset/Pairwise_set/Helpfulness/Open QA/Hypothetical Scenarios.json":
    "8b38c2a9edddb5da3cf834065b1890462154aa61",
  "RMB_dataset/Pairwise_set/Helpfulness/Open QA/Interpretative Analysis.json":
    "26f4ad7328f6f37ed8f89434a817fbd1b0589ed1",
  "RMB_dataset/Pairwise_set/Helpfulness/Open QA/Personal Opinion and Advice.json":
    "f2deaac098e36308d410bc54878570045ba1f235",
  "RMB_dataset/Pairwise_set/Helpfulness/Open QA/Technical and Practical Support.json":
    "9f8b922de36bf82f9e8ea39f286d3f30f1a893b3",
  "RMB_dataset/Pairwise_set/Helpfulness/Reasoning/Analytical Reasoning.json":
    "21f8ab9ec877c173dd6f5c10a53677dd00897caa",
  "RMB_dataset/Pairwise_set/Helpfulness/Reasoning/Critical Thinking.json":
    "6b88ee612661046c63be5086bbdaab6c42abd49b",
  "RMB_dataset/Pairwise_set/Helpfulness/Reasoning/Human Decision Making.json":
    "fb5921e843f750912fa5bf1aebfb0582f52f9809",
  "RMB_dataset/Pairwise_set/Helpfulness/Reasoning/Logical Deduction.json":
    "def161c1efb34cea7af661020c06046b6a5c5acc",
  "RMB_dataset/Pairwise_set/Helpfulness/Reasoning/Pattern Recognition.json":
    "2c62114380a17afc91580a33edb9396fc6c02b7b",
  "RMB_dataset/Pairwise_set/Helpfulness/Rewrite/Paraphrasing.json":
    "4dc8018600a83b3fe041af545a4f7c973e8f5bea",
  "RMB_dataset/Pairwise_set/Helpfulness/Rewrite/PostQuality Assessment Rewriting.json":
    "79f7dd4b69f77557e654e1f3c1f437c4330756c1",
  "RMB_dataset/Pairwise_set/Helpfulness/Rewrite/Textual ExpansionReduction.json":
    "196b0c969b9a8ffdd70c56b07776ddc471d918bc",
  "RMB_dataset/Pairwise_set/Helpfulness/Rewrite/Tone Adjustment.json":
    "8484f4aba0a7d83085ed49ee362cb1d11410ca7e",
  "RMB_dataset/Pairwise_set/Helpfulness/Role Playing/General Character.json":
    "9fc2236825de963b10fe11287aae923ec0e230df",
  "RMB_dataset/Pairwise_set/Helpfulness/Role Playing/Specific Character.json":
    "a0545e112cd45188f0760d5bbcd3e3e18b8cf1d5",
  "RMB_dataset/Pairwise_set/Helpfulness/Summarization/Specialized Summaries.json":
    "e542cbeb74349aa245bd4c96cf22c812c40e3766",
  "RMB_dataset/Pairwise_set/Helpfulness/Summarization/Standard Summaries.json":
    "4a793e490db28f8f5887ee13ba6a155ffb91bc4c",
  "RMB_dataset/Pairwise_set/Helpfulness/Translation/GeneralExcerpt Language Translation.json":
    "d292018c3438ee3ee46e5580e5f3b58380821448",
  "RMB_dataset/Pairwise_set/Helpfulness/Translation/Literary and Cultural Translation.json":
    "7286a52540bc77db8c1fb56419c503174b5b5b97",
  "RMB_dataset/Pairwise_set/Helpfulness/Translation/Technical and Scientific Translation.json":
    "2fc81e9f1090708830993d2f3246b89e905b5b67",
};

/** JudgeBench's files. */
export const JUDGEBENCH_BLOBS: Readonly<Record<string, string>> = {
  "data/dataset=judgebench,response_model=claude-3-5-sonnet-20240620.jsonl":
    "fcad289313db1b7106342eb31f1914ab773b4125",
  "data/dataset=judgebench,response_model=gpt-4o-2024-05-13.jsonl":
    "82996321b4ffaf7db818c88314d37fa28f109910",
};
