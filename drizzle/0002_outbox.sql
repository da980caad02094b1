CREATE TABLE "paused_cluster" (
	"cluster" text PRIMARY KEY NOT NULL,
	"since" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "refused_instance" (
	"cluster" text NOT NULL,
	"study_instance_uid" text NOT NULL,
	"sop_instance_uid" text NOT NULL,
	"reason" integer NOT NULL,
	"refused_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "refused_instance_cluster_study_instance_uid_sop_instance_uid_pk" PRIMARY KEY("cluster","study_instance_uid","sop_instance_uid")
);
--> statement-breakpoint
DROP INDEX "converge_job_due";--> statement-breakpoint
ALTER TABLE "converge_job" ADD COLUMN "failed_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "converge_job" ADD COLUMN "failing_since" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "converge_job" ADD COLUMN "dead_since" timestamp with time zone;--> statement-breakpoint
CREATE INDEX "converge_job_dead" ON "converge_job" USING btree ("cluster","study_instance_uid") WHERE "converge_job"."dead_since" is not null;--> statement-breakpoint
CREATE INDEX "converge_job_due" ON "converge_job" USING btree ("cluster","run_at") WHERE "converge_job"."dead_since" is null;